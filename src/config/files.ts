/** The files that a configuration names: they must be readable, and those that hold a secret are read. Used by config.ts. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { type TSchema, Type } from 'typebox'
import { readTrustedKeys } from '../oci/jws.ts'
import { isMapping, type KeyPath, type Report } from './check.ts'
import { factsOf } from './forms.ts'

const maxSecretBytes = 64 * 1024

/** Tells every file that can't be read, by key and path. */
export function checkFiles(schema: TSchema, value: unknown, path: KeyPath, report: Report): void {
  if (typeof value === 'string' && factsOf(schema).path === 'file') {
    const problem = whyUnreadable(value)
    if (problem !== undefined) report(path, `the file ${value} can not be read: ${problem}`)
  }
  if (Type.IsArray(schema) && Array.isArray(value)) {
    for (const [at, item] of value.entries()) checkFiles(schema.items, item, [...path, at], report)
  }
  if (Type.IsObject(schema) && isMapping(value)) {
    for (const [key, property] of Object.entries(schema.properties)) {
      checkFiles(property, value[key], [...path, key], report)
    }
  }
}

/** The secret that is given as a text or as a file, whose trailing line break is cut. The file was checked before: see {@link checkSecrets}. */
export function readSecret(text: string | undefined, file: string | undefined): string | undefined {
  if (file === undefined) return text
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

/** Tells secrets that are given twice, without a user name, or in a file that is empty or too large to be one. */
export function checkSecrets(schema: TSchema, value: unknown, path: KeyPath, report: Report): void {
  if (Type.IsArray(schema) && Array.isArray(value)) {
    for (const [at, item] of value.entries()) checkSecrets(schema.items, item, [...path, at], report)
  }
  if (!Type.IsObject(schema) || !isMapping(value)) return
  for (const [key, property] of Object.entries(schema.properties)) {
    checkSecrets(property, value[key], [...path, key], report)
    if (!factsOf(property).secret) continue
    const [secret, file, username] = [
      value[key] ?? undefined,
      value[`${key}File`] ?? undefined,
      value.username ?? undefined,
    ]
    if (secret !== undefined && file !== undefined) {
      report([...path, key], `is given twice: here and as ${key}File; keep one`)
    }
    if (typeof file === 'string') checkSecretFile(file, [...path, `${key}File`], report)
    if (username === undefined && (secret !== undefined || file !== undefined)) {
      report([...path, 'username'], `is missing: there is a ${key} without a user name`)
    }
  }
}

/** Why a file holds no public key that can be trusted; undefined where it does, or where it was told already that it can't be read. */
export function whyNoKey(file: string): string | undefined {
  if (whyUnreadable(file) !== undefined) return undefined
  if (statSync(file).size > maxSecretBytes) return `is larger than ${maxSecretBytes} bytes: is it the right one?`
  try {
    readTrustedKeys(readFileSync(file, 'utf8'))
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function checkSecretFile(file: string, path: KeyPath, report: Report): void {
  if (whyUnreadable(file) !== undefined) return
  const { size } = statSync(file)
  if (size > maxSecretBytes)
    report(path, `the file ${file} is larger than ${maxSecretBytes} bytes: is it the right one?`)
  else if (readSecret(undefined, file) === '') report(path, `the file ${file} is empty`)
}

function whyUnreadable(file: string): string | undefined {
  try {
    if (!statSync(file).isFile()) return 'it is not a file'
    accessSync(file, constants.R_OK)
    return undefined
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') return 'there is no such file'
    if (code === 'EACCES') return 'permission denied'
    return error instanceof Error ? error.message : String(error)
  }
}
