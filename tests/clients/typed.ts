// Uses types that openapi-typescript made from schema.yml. It must compile: each `@ts-expect-error` marks a
// mistake that the types have to find. Usage: node typed.js BASE TOKEN
import createClient from 'openapi-fetch'
import type { components, operations, paths } from './schema.js'

type Schemas = components['schemas']
type Answer<Operation extends keyof operations, Status extends number> = operations[Operation]['responses'] extends {
  [status in Status]: { content: { 'application/problem+json': infer Problem } }
}
  ? Problem
  : never

const [base, token] = process.argv.slice(2)
if (!base || !token) throw new Error('Usage: node typed.js BASE TOKEN')
const options = { baseUrl: base, querySerializer: { array: { style: 'form', explode: false } } } as const
const visitor = createClient<paths>(options)
const member = createClient<paths>({ ...options, headers: { Authorization: `Bearer ${token}` } })

function unexpected(value: never): never {
  throw new Error(`unexpected: ${JSON.stringify(value)}`)
}

// --- A list with pictures -------------------------------------------------------------------------------

function srcset(image: Schemas['Image'] | null): string {
  const renditions: Schemas['Rendition'][] = image?.renditions ?? []
  return renditions.map((each) => `${each.url} ${each.width}w`).join(', ')
}

export function careless(species: Schemas['Species'], created: Schemas['CreatedDocument']): unknown[] {
  return [
    // @ts-expect-error  a species may have no picture
    species.image.renditions,
    // @ts-expect-error  there may be no renditions yet
    species.image?.renditions[0].url,
    // @ts-expect-error  the width of a picture without renditions is not known
    (species.image?.width ?? null).toFixed(),
    // @ts-expect-error  no such status
    species.conservation_status === 'XX',
    // @ts-expect-error  there is no ticket without `upload`
    created.ticket.url,
    // @ts-expect-error  a document may have no file
    created.file.size,
  ]
}

const { data: page, error: refusal } = await visitor.GET('/api/v1/species/', {
  params: { query: { ordering: ['common_name', '-created_at'], page_size: 10, published: true } },
})
if (refusal) {
  // @ts-expect-error  a list has no such code
  if (refusal.code === 'gallery_full') throw new Error('impossible')
  // @ts-expect-error  no token is needed
  if (refusal.code === 'not_authenticated') throw new Error('impossible')
  throw new Error(refusal.detail)
}
// @ts-expect-error  not with `cursor`
const total: number = page.count
for (const species of page.results) {
  const name: string = species.common_name
  const slug: string = species.slug
  console.log(`${name} ${slug} ${total} ${srcset(species.image)}`)
}
type Ordering = NonNullable<NonNullable<operations['listSpecies']['parameters']['query']>['ordering']>
const ordering: Ordering = [
  // @ts-expect-error  no field to order by
  'qr_code_url',
]
console.log(`ordered ${ordering.length}`)

// --- A document, and all that may be wrong with it ------------------------------------------------------

type NotCreated = NonNullable<Awaited<ReturnType<typeof create>>['error']>

function create(body: Schemas['DocumentRequest'] & { upload?: Schemas['UploadRequest'] }) {
  return member.POST('/api/v1/documents/', { body })
}

function advice(problem: NotCreated): string {
  switch (problem.code) {
    case 'invalid':
      return problem.errors.map((each) => each.pointer).join()
    case 'quota_exceeded':
      return `${problem.quota}: ${problem.used} of ${problem.limit}`
    case 'not_authenticated':
    case 'token_invalid':
    case 'token_expired':
    case 'session_revoked':
    case 'anonymous_not_allowed':
    case 'client_not_allowed':
    case 'token_too_long':
      return 'sign in'
    case 'throttled':
    case 'request_timeout':
    case 'not_ready':
    case 'storage_unavailable':
    case 'keys_unavailable':
    case 'sessions_unavailable':
      return 'try again'
    case 'malformed':
    case 'too_large':
    case 'unsupported_media_type':
    case 'idempotency_key_reused':
    case 'resource_gone':
    case 'internal':
      return problem.detail
    // @ts-expect-error  creating a document cannot be refused so
    case 'size_mismatch':
      return ''
    default:
      return unexpected(problem)
  }
}

const { error: wrong } = await create({ title: '' })
if (!wrong) throw new Error('A title is needed.')
console.log(`wrong ${wrong.code} ${advice(wrong)}`)
// @ts-expect-error  a title is needed
await create({ category: 'care' })

const file = new TextEncoder().encode('%PDF-1.4 typed\n')
const declared = { filename: 'plan.pdf', content_type: 'application/pdf', size: file.length }
const { data: created, error: notCreated } = await create({ title: 'Typed', upload: declared })
if (notCreated) throw new Error(advice(notCreated))
const ticket = created.ticket
if (!ticket) throw new Error('There is no ticket.')

// --- Its file -------------------------------------------------------------------------------------------

function progress(upload: Schemas['Upload']): string {
  switch (upload.state) {
    case 'pending':
      return 'send the file'
    case 'verifying':
    case 'held':
      return 'wait'
    case 'completed':
      return upload.found?.content_type ?? ''
    case 'rejected':
    case 'cancelled':
      return upload.problem?.code ?? ''
    case 'expired':
      return 'ask for a new ticket'
    // @ts-expect-error  no such state
    case 'done':
      return ''
    default:
      return unexpected(upload.state)
  }
}

const path = { id: ticket.id }
const early = await member.POST('/api/v1/uploads/{id}/complete/', { params: { path } })
if (early.error?.code !== 'object_missing') throw new Error('Nothing was sent.')
const conflict: Answer<'completeUpload', 409>['code'] = early.error.code
// @ts-expect-error  it is a 409
const gone: Answer<'completeUpload', 404>['code'] = 'object_missing'
console.log(`early ${conflict} ${gone}`)

const sent = await fetch(ticket.url, { method: ticket.method, headers: ticket.headers, body: file })
if (!sent.ok) throw new Error(await sent.text())
const done = await member.POST('/api/v1/uploads/{id}/complete/', { params: { path } })
if (!done.data) throw new Error(done.error.detail)
console.log(`done ${done.data.state} ${progress(done.data)}`)
