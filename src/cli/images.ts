/** `images`: what the local registry holds. */
import type { Command } from 'commander'
import type { HeldImage } from '../http/api/shapes.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { formatBytes, formatRelative } from './format.ts'
import { type Column, formatTable } from './table.ts'

export function addImages(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('images'))
    .description('list what the local registry holds')
    .action(async (flags: ApiFlags) => {
      const images = await withApi(context, flags, client => client.listImages())
      if (flags.json) context.terminal.printJson(images)
      else if (images.length === 0) context.terminal.print('no images')
      else for (const line of formatTable(images, columns(Date.now()))) context.terminal.print(line)
    })
}

function columns(now: number): readonly Column<HeldImage>[] {
  return [
    { title: 'REPOSITORY', value: image => image.repository },
    { title: 'TAG', value: image => image.tag ?? '-' },
    { title: 'SIZE', value: image => formatBytes(image.size), align: 'right' },
    { title: 'CHANGED', value: image => formatRelative(image.updatedAt, now) },
    { title: 'FROM', value: image => image.source },
    { title: 'DIGEST', value: image => image.digest },
  ]
}
