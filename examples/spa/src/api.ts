// The client of the API. Paths, parameters and answers are typed by schema.yml: see `npm run types`.
import { createClient, isAuthApiError } from '@supabase/supabase-js'
import createFetchClient from 'openapi-fetch'
import createQueries from 'openapi-react-query'
import { language } from './i18n/language'
import type { components, paths } from './schema'

export const API_URL = import.meta.env.VITE_API_URL || 'http://127.0.0.1:8000'

// supabase-js keeps the session and refreshes it. Without a Supabase project, the API itself answers it.
export const auth = createClient(
  import.meta.env.VITE_SUPABASE_URL || API_URL,
  import.meta.env.VITE_SUPABASE_KEY || 'any',
).auth

export const api = createFetchClient<paths>({ baseUrl: API_URL, fetch: send })

// The same requests as React hooks: api.GET('/api/v1/species/') is queries.useQuery('get', '/api/v1/species/').
export const queries = createQueries(api)

async function send(request: Request): Promise<Response> {
  const { data } = await auth.getSession() // refreshed if it is about to expire
  const answer = await fetch(prepared(request, data.session?.access_token))
  if (answer.status !== 401 || !data.session) return answer
  void answer.body?.cancel() // what is never read keeps its connection
  // This computer's clock may be wrong, or the session was ended elsewhere: then it ends here, too.
  const { data: refreshed, error } = await auth.refreshSession()
  if (isAuthApiError(error)) await auth.signOut({ scope: 'local' })
  return fetch(prepared(request, refreshed.session?.access_token))
}

function prepared(request: Request, token: string | undefined): Request {
  const copy = request.clone() // a body can be sent only once
  copy.headers.set('Accept-Language', language()) // that of `detail` in problems
  if (token) copy.headers.set('Authorization', `Bearer ${token}`)
  return copy
}

type Schemas = components['schemas']
export type Image = Schemas['Image']
export type Picture = Schemas['Picture']
export type Species = Schemas['Species']
export type Status = Schemas['ConservationStatusEnum']
export type Licence = Picture['licence']
export type Exhibition = Schemas['Exhibition']
export type Profile = Schemas['Profile']
export type Permission = Schemas['PermissionsEnum']
export type Ticket = Schemas['Ticket']
export type Document = Schemas['Document']
export type Problem = Pick<Schemas['Problem'], 'status' | 'detail' | 'code' | 'errors'>

/** The problem of an answer, or null if the error is another one, such as that of a broken connection. */
export function asProblem(error: unknown): Problem | null {
  return typeof error === 'object' && error !== null && 'code' in error && 'detail' in error
    ? (error as Problem)
    : null
}

/** What the API says of one field: its place is a JSON pointer, as in `#/display_name`. */
export function errorOf(error: unknown, pointer: string): string | undefined {
  return asProblem(error)?.errors.find((item) => item.pointer === pointer)?.detail
}

/** The data of an answer. Throws the problem if there is one, as mutations of react-query expect. */
export async function ok<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (!response.ok) throw error
  return data as T
}

/** What a ticket is asked for: the API refuses by this alone what it would not take, before a byte is sent. */
export const declared = (file: File) => ({ filename: file.name, content_type: file.type, size: file.size })
