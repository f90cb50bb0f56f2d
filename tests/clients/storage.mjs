// What supabase-js can do with files, step by step against a running server.
// Usage: node storage.mjs BASE SERVICE_KEY BUCKET
import assert from 'node:assert/strict'
import { JSDOM } from 'jsdom'

globalThis.WebSocket ??= new JSDOM('').window.WebSocket // browsers and newer Nodes have their own
const { createClient } = await import('@supabase/supabase-js')

const [base, key, bucket] = process.argv.slice(2)
const { storage } = createClient(base, key)
const files = storage.from(bucket)
const text = 'kept behind glass'
const type = 'text/plain'

async function ok(call) {
  const { data, error } = await call
  if (error) throw error
  return data
}

async function refused(call) {
  const { error } = await call
  assert(error, 'this should have been refused')
  return error.statusCode ?? error.status
}

const contents = async (path) => (await ok(files.download(path))).text()
const names = (rows) => rows.map((row) => row.name)

// Buckets
await ok(storage.createBucket(bucket, { public: false, fileSizeLimit: '1MB', allowedMimeTypes: ['text/*'] }))
assert.equal(await refused(storage.createBucket(bucket)), '409')
const made = await ok(storage.getBucket(bucket))
assert.deepEqual([made.public, made.file_size_limit, made.allowed_mime_types], [false, 1e6, ['text/*']])
assert((await ok(storage.listBuckets())).some(({ id }) => id === bucket))

// What goes up comes back, however it is held
const bodies = {
  blob: new Blob([text], { type }),
  file: new File([text], 'file.txt', { type }),
  buffer: await new Blob([text]).arrayBuffer(),
  stream: new Blob([text]).stream(),
  text,
}
for (const [kind, body] of Object.entries(bodies)) {
  const options = { contentType: type, cacheControl: '60', metadata: { kind }, duplex: 'half' }
  await ok(files.upload(`up/a ${kind}.txt`, body, options))
  assert.equal(await contents(`up/a ${kind}.txt`), text)
  const info = await ok(files.info(`up/a ${kind}.txt`))
  assert.deepEqual([info.size, info.contentType, info.metadata], [text.length, type, { kind }])
  assert.equal(info.cacheControl, 'max-age=60')
}
assert.equal(await refused(files.upload('up/page', new Blob([text], { type: 'image/png' }))), '415')

// Replaced only when asked
assert.equal(await refused(files.upload('up/a text.txt', 'second', { contentType: type })), '409')
await ok(files.upload('up/a text.txt', 'third', { contentType: type, upsert: true }))
assert.equal(await contents('up/a text.txt'), 'third')
await ok(files.update('up/a text.txt', 'fourth', { contentType: type }))
assert.equal(await contents('up/a text.txt'), 'fourth')

// Signed
const { token, path } = await ok(files.createSignedUploadUrl('signed.txt'))
const stranger = createClient(base, 'sb_publishable_any').storage.from(bucket)
await ok(stranger.uploadToSignedUrl(path, token, new File([text], 'x.txt', { type })))
assert.equal(await refused(stranger.uploadToSignedUrl(path, token, new File(['evil'], 'x.txt', { type }))), '409')
const { signedUrl } = await ok(files.createSignedUrl('signed.txt', 60, { download: 'plan.txt' }))
const answer = await fetch(signedUrl)
assert.equal(await answer.text(), text)
assert.match(answer.headers.get('content-disposition'), /^attachment; filename=plan\.txt/)
const [one, none] = await ok(files.createSignedUrls(['up/a blob.txt', 'none'], 60))
assert.equal(await (await fetch(one.signedUrl)).text(), text)
assert.deepEqual([Boolean(none.error), none.signedUrl], [true, null])

// Found, copied, moved
assert.deepEqual(names(await ok(files.list())), ['signed.txt', 'up'])
assert.deepEqual(names(await ok(files.list('up', { limit: 2, offset: 1, search: 'a ' }))), ['a buffer.txt', 'a file.txt'])
const { folders, objects, hasNext } = await ok(files.listV2({ with_delimiter: true, limit: 1 }))
assert.deepEqual([names(folders), names(objects), hasNext], [[], ['signed.txt'], true])
await ok(files.copy('signed.txt', 'copy.txt'))
await ok(files.move('copy.txt', 'moved.txt'))
assert.deepEqual((await files.exists('copy.txt')).data, false)
assert.deepEqual(await ok(files.exists('moved.txt')), true)

// Public
const { publicUrl } = files.getPublicUrl('moved.txt').data
assert.equal((await fetch(publicUrl)).status, 400)
await ok(storage.updateBucket(bucket, { public: true }))
assert.equal(await (await fetch(publicUrl)).text(), text)

// Gone
assert.deepEqual(names(await ok(files.remove(['moved.txt', 'none']))), ['moved.txt'])
assert.equal(await refused(storage.deleteBucket(bucket)), '409')
await ok(storage.emptyBucket(bucket))
await ok(storage.deleteBucket(bucket))
assert.equal(await refused(storage.getBucket(bucket)), '404')
console.log('done')
