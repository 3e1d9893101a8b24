import t from 'tap'
import { formatPlatform, parsePlatform, platformMatches } from '../../src/oci/platform.ts'

t.test('the usual names are understood', async t => {
  const cases: Record<string, string> = {
    'linux/amd64': 'linux/amd64',
    'linux/x86_64': 'linux/amd64',
    'LINUX/X86': 'linux/amd64',
    'linux/aarch64': 'linux/arm64',
    'linux/arm64/v8': 'linux/arm64',
    'linux/arm/7': 'linux/arm/v7',
    'linux/armhf': 'linux/arm/v7',
  }
  for (const [text, name] of Object.entries(cases)) t.equal(formatPlatform(parsePlatform(text)), name, text)
  for (const text of ['', 'linux', 'linux/', 'linux/arm/v7/x', 'li nux/arm'])
    t.throws(() => parsePlatform(text), { code: 'PLATFORM_UNAVAILABLE' }, text)
})

t.test('variants must agree where both are given', async t => {
  const match = (wanted: string, offered: string) => platformMatches(parsePlatform(wanted), parsePlatform(offered))
  t.equal(match('linux/arm64', 'linux/arm64/v8'), true)
  t.equal(match('linux/arm/v7', 'linux/arm/v7'), true)
  t.equal(match('linux/arm/v7', 'linux/arm/v6'), false)
  t.equal(match('linux/arm', 'linux/arm/v6'), true)
  t.equal(match('linux/amd64', 'windows/amd64'), false)
})
