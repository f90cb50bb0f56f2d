// What the documents page asks of the API.
import { api, declared, ok, type Ticket } from '../api'
import type { RequestTicket } from '../uploads/useUploads'

/** Creates a document together with the ticket for its file. Tried again, it asks for another ticket only. */
export function newDocument(): RequestTicket {
  let created: string | undefined
  const key = crypto.randomUUID() // a request whose answer was lost does not create a second document
  return async (file, signal) => {
    if (created) return replacement(created)(file, signal)
    const title = file.name.replace(/\.[^.]+$/, '')
    const body = { title, upload: declared(file) }
    const document = await ok(
      api.POST('/api/v1/documents/', { body, params: { header: { 'Idempotency-Key': key } }, signal }),
    )
    created = document.id
    const ticket = 'ticket' in document ? (document.ticket as Ticket | null) : null
    return ticket ?? replacement(created)(file, signal)
  }
}

/** Asks for a ticket for another file of this document. The old one stays until the new one is verified. */
export const replacement =
  (id: string): RequestTicket =>
  (file, signal) =>
    ok(api.POST('/api/v1/documents/{id}/upload-url/', { params: { path: { id } }, body: declared(file), signal }))

/** A signed URL of the file. With `download`, browsers save it under its own name. */
export async function fileUrl(id: string, download: boolean): Promise<string> {
  const query = download ? { download: '' } : {}
  const { url } = await ok(api.GET('/api/v1/documents/{id}/download-url/', { params: { path: { id }, query } }))
  return url
}
