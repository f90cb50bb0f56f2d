// Carries one file through a ticket with each client that docs/clients.md shows.
// Usage: node ticket.mjs CLIENT BASE TOKEN DOCUMENT_ID FILE
import { readFile } from 'node:fs/promises'
import { JSDOM } from 'jsdom'

const [client, base, token, id, path] = process.argv.slice(2)
const file = new File([await readFile(path)], 'guía.pdf', { type: 'application/pdf' })
const auth = { Authorization: `Bearer ${token}` }

async function ask(method, url, body) {
  const answer = await fetch(url, {
    method,
    headers: { ...auth, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return answer.json()
}

const ticket = await ask('POST', `${base}/api/v1/documents/${id}/upload-url/`, {
  filename: file.name,
  content_type: file.type,
  size: file.size,
})

const send = {
  async fetch() {
    const answer = await fetch(ticket.url, { method: ticket.method, headers: ticket.headers, body: file })
    if (!answer.ok) throw new Error(await answer.text())
  },

  async supabase() {
    globalThis.WebSocket ??= new JSDOM('').window.WebSocket // browsers and newer Nodes have their own
    const { createClient } = await import('@supabase/supabase-js')
    const supabase = createClient(new URL(ticket.url).origin, 'any-key')
    const { error } = await supabase.storage
      .from(ticket.bucket)
      .uploadToSignedUrl(ticket.path, ticket.token, file)
    if (error) throw error
  },

  async uppy() {
    const { window } = new JSDOM('', { url: base })
    Object.assign(globalThis, { window, document: window.document, XMLHttpRequest: window.XMLHttpRequest })
    const { default: Uppy } = await import('@uppy/core')
    const { default: XHRUpload } = await import('@uppy/xhr-upload')
    const uppy = new Uppy().use(XHRUpload, {
      endpoint: ticket.url,
      method: ticket.method,
      headers: ticket.headers,
      formData: false,
    })
    uppy.addFile({ name: file.name, type: file.type, data: new window.File([await file.arrayBuffer()], file.name) })
    const { failed } = await uppy.upload()
    if (failed.length) throw new Error(failed[0].error)
  },
}

await send[client]()
const upload = await ask('POST', ticket.complete_url)
console.log(upload.state)
