import { useState } from 'react'
import { asProblem, auth, type Ticket } from '../api'

export type State = 'waiting' | 'sending' | 'paused' | 'offline' | 'verifying' | 'done' | 'failed'
export type Item = { id: string; name: string; size: number; sent: number; state: State; problem?: string }
type RequestTicket = (file: File, signal: AbortSignal) => Promise<Ticket>

/** Sends files in one request each. */
export function useUploads() {
  const [items, setItems] = useState<Item[]>([])
  const change = (id: string, changes: Partial<Item>) =>
    setItems((before) => before.map((item) => (item.id === id ? { ...item, ...changes } : item)))

  async function send(id: string, file: File, requestTicket: RequestTicket, onCompleted?: () => void) {
    try {
      const ticket = await requestTicket(file, new AbortController().signal)
      change(id, { state: 'sending' })
      const sent = await fetch(ticket.url, { method: ticket.method, headers: ticket.headers, body: file })
      if (!sent.ok) throw new Error(sent.statusText)
      change(id, { state: 'verifying', sent: file.size })
      const { data } = await auth.getSession()
      const headers = { Authorization: `Bearer ${data.session?.access_token}` }
      const answer = await fetch(ticket.complete_url, { method: 'POST', headers })
      if (!answer.ok) throw await answer.json()
      change(id, { state: 'done' })
      onCompleted?.()
    } catch (error) {
      change(id, { state: 'failed', problem: asProblem(error)?.detail ?? String(error) })
    }
  }

  function add(files: File[], requestTicket: RequestTicket, onCompleted?: () => void) {
    for (const file of files) {
      const item: Item = { id: crypto.randomUUID(), name: file.name, size: file.size, sent: 0, state: 'waiting' }
      setItems((before) => [...before, item])
      void send(item.id, file, requestTicket, onCompleted)
    }
  }
  const later = (_id: string) => {}
  return { items, add, pause: later, resume: later, retry: later, cancel: later }
}
