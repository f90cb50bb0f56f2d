// Sends one file in parts with tus-js-client, and goes on where an earlier run was interrupted.
// Usage: node resumable.mjs ticket FOLDER FILE BASE TOKEN DOCUMENT_ID   (to a ticket, which is then completed)
//        node resumable.mjs bucket FOLDER FILE BASE SERVICE_KEY BUCKET KEY
// FOLDER keeps what a browser would: the ticket, and where uploads are. KILL_AFTER=bytes ends the process there.
import { createReadStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import * as tus from 'tus-js-client'
import { FileUrlStorage } from 'tus-js-client'

const [what, folder, path, base, token, ...target] = process.argv.slice(2)
const killAfter = Number(process.env.KILL_AFTER ?? Infinity)

async function ask(method, url, body) {
  const answer = await fetch(url, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return answer.json()
}

async function ticketFor(id, size) {
  const kept = join(folder, 'ticket.json')
  try {
    return JSON.parse(await readFile(kept))
  } catch {
    const announced = { filename: basename(path), content_type: 'application/pdf', size }
    const ticket = await ask('POST', `${base}/api/v1/documents/${id}/upload-url/`, announced)
    await writeFile(kept, JSON.stringify(ticket))
    return ticket
  }
}

async function send(file, { endpoint, headers, chunk_size, metadata }) {
  const requests = []
  await new Promise((resolve, reject) => {
    const upload = new tus.Upload(file, {
      endpoint, headers, chunkSize: chunk_size, metadata,
      urlStorage: new FileUrlStorage(join(folder, 'urls.json')),
      removeFingerprintOnSuccess: true,
      onBeforeRequest: (request) => requests.push(request.getMethod()),
      onProgress: (sent) => sent > killAfter && process.kill(process.pid, 'SIGKILL'),
      onSuccess: resolve,
      onError: reject,
    })
    upload.findPreviousUploads().then(([previous]) => {
      if (previous) upload.resumeFromPreviousUpload(previous)
      upload.start()
    })
  })
  return requests
}

const file = createReadStream(path)
if (what === 'ticket') {
  const ticket = await ticketFor(target[0], (await readFile(path)).length)
  const requests = await send(file, ticket.resumable)
  const upload = await ask('POST', ticket.complete_url)
  console.log(upload.state, ...requests)
} else {
  const requests = await send(file, {
    endpoint: `${base}/storage/v1/upload/resumable`,
    headers: { authorization: `Bearer ${token}` },
    chunk_size: 6 * 1024 * 1024,
    metadata: { bucketName: target[0], objectName: target[1], contentType: 'application/pdf', cacheControl: '60' },
  })
  console.log('sent', ...requests)
}
