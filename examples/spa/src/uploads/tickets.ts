// What can be asked of a ticket that was issued before.
import { api, asProblem, ok, type Ticket } from '../api'

/** A ticket whose file is in storage already: only its completion is left. */
export type Arrived = { id: string }

/** The ticket with a new URL, for another tab or device, or after it has expired. Throws the problem. */
export async function reopened(id: string): Promise<Ticket | Arrived> {
  try {
    return await ok(api.GET('/api/v1/uploads/{id}/ticket/', { params: { path: { id } } }))
  } catch (error) {
    if (asProblem(error)?.code === 'object_arrived') return { id }
    throw error
  }
}

const ATTEMPTS = 10

/** Lets the API verify and record what was sent. Waits as long as it asks for. Throws the problem. */
export async function completed(id: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { error, response } = await api.POST('/api/v1/uploads/{id}/complete/', { params: { path: { id } }, signal })
    const problem = asProblem(error)
    // Files that are checked by people are published later: for this client it is done.
    if (response.ok || problem?.code === 'held') return
    const seconds = Number(response.headers.get('Retry-After')) // of 503, 429, and 409 `verification_in_progress`
    if (!seconds || attempt === ATTEMPTS) throw error
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }
}
