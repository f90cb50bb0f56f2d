import { Upload } from 'tus-js-client'
import type { Ticket } from '../api'

/** A resumable upload of the file, which is not started yet. */
export async function transferOf(
  file: File,
  ticket: Ticket,
  events: { onSent: (bytes: number) => void; onSuccess: () => void; onError: (error: Error) => void },
): Promise<Upload> {
  const { endpoint, headers, chunk_size, metadata } = ticket.resumable
  const upload = new Upload(file, {
    endpoint,
    headers,
    metadata,
    chunkSize: chunk_size,
    retryDelays: [0, 1000, 3000, 5000],
    fingerprint: () => Promise.resolve(ticket.path), // a file goes on where it was, also after the page is reloaded
    removeFingerprintOnSuccess: true,
    onProgress: events.onSent,
    onSuccess: events.onSuccess,
    onError: events.onError,
  })
  const [before] = await upload.findPreviousUploads()
  if (before) upload.resumeFromPreviousUpload(before)
  return upload
}
