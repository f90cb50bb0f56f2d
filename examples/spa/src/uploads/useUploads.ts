// Sends files straight to storage: several at once, resumable (tus), each with a ticket of its own.
import { useEffect, useRef, useState } from 'react'
import type { Upload } from 'tus-js-client'
import { api, asProblem, ok, type Ticket } from '../api'
import { completed, reopened, type Arrived } from './tickets'
import { transferOf } from './transfer'

export type State = 'waiting' | 'sending' | 'paused' | 'offline' | 'verifying' | 'done' | 'failed'
export type Item = { id: string; name: string; size: number; sent: number; state: State; problem?: string; ticket?: string }
export type RequestTicket = (file: File, signal: AbortSignal) => Promise<Ticket | Arrived>
export type Uploads = ReturnType<typeof useUploads>

type Job = {
  file: File
  requestTicket: RequestTicket
  onCompleted: (() => void) | undefined
  stop: AbortController
  running: boolean
  halted: boolean // paused, or offline
  ticket?: Ticket | Arrived
  transfer?: Upload | undefined // while bytes are on their way
}

const AT_ONCE = 3

export function useUploads() {
  const [items, setItems] = useState<Item[]>([])
  const jobs = useRef(new Map<string, Job>())
  const change = (id: string, changes: Partial<Item>) =>
    setItems((before) => before.map((item) => (item.id === id ? { ...item, ...changes } : item)))

  async function run(id: string, job: Job, again: boolean) {
    job.running = true
    change(id, { state: 'sending', problem: '' })
    try {
      // A ticket may have expired, or its file have arrived: ask for it again rather than for another one.
      if (again && job.ticket) job.ticket = await reopened(job.ticket.id)
      job.ticket ??= await job.requestTicket(job.file, job.stop.signal)
      change(id, { ticket: job.ticket.id })
      if ('url' in job.ticket) await send(job, job.ticket, (sent) => change(id, { sent }))
      change(id, { state: 'verifying', sent: job.file.size })
      await completed(job.ticket.id, job.stop.signal)
      change(id, { state: 'done' })
      job.onCompleted?.()
    } catch (error) {
      const problem = asProblem(error)
      if (problem?.status === 422 || problem?.code.startsWith('ticket_')) delete job.ticket // it is of no more use
      if (job.stop.signal.aborted) return
      if (!problem && !navigator.onLine) change(id, { state: 'offline' })
      else change(id, { state: 'failed', problem: problem?.errors[0]?.detail ?? problem?.detail ?? '' })
    } finally {
      job.running = false
      job.transfer = undefined
    }
  }

  const send = (job: Job, ticket: Ticket, onSent: (bytes: number) => void) =>
    new Promise<void>((onSuccess, onError) => {
      void transferOf(job.file, ticket, { onSent, onSuccess, onError }).then((transfer) => {
        job.transfer = transfer
        if (!job.halted && !job.stop.signal.aborted) transfer.start()
      })
    })

  // Whatever waits is started as soon as there is room.
  useEffect(() => {
    const busy = items.filter(({ state }) => state === 'sending' || state === 'verifying').length
    const next = items.find(({ state }) => state === 'waiting')
    const job = next && jobs.current.get(next.id)
    if (job && busy < AT_ONCE) void run(next.id, job, false)
  }, [items])

  const each = (state: State, act: (id: string) => void) =>
    items.filter((item) => item.state === state).forEach(({ id }) => act(id))
  const halt = (id: string, state: State) => {
    const job = jobs.current.get(id)
    if (!job) return
    job.halted = true
    void job.transfer?.abort() // what has arrived stays there
    change(id, { state })
  }
  const resume = (id: string) => {
    const job = jobs.current.get(id)
    if (!job) return
    job.halted = false
    if (!job.running) return void run(id, job, true)
    change(id, { state: 'sending' })
    job.transfer?.start()
  }
  const add = (files: File[], requestTicket: RequestTicket, onCompleted?: () => void) => {
    const added = files.map((file): Item => {
      const id = crypto.randomUUID()
      jobs.current.set(id, { file, requestTicket, onCompleted, stop: new AbortController(), running: false, halted: false })
      return { id, name: file.name, size: file.size, sent: 0, state: 'waiting' }
    })
    setItems((before) => [...before, ...added])
  }
  const cancel = (id: string) => {
    const job = jobs.current.get(id)
    job?.stop.abort()
    void job?.transfer?.abort()
    const unfinished = items.some((item) => item.id === id && item.state !== 'done')
    if (job?.ticket && unfinished) void ok(api.DELETE('/api/v1/uploads/{id}/', { params: { path: { id: job.ticket.id } } })).then(job.onCompleted, () => {})
    setItems((before) => before.filter((item) => item.id !== id))
  }

  useEffect(() => {
    const busy = items.some(({ state }) => state !== 'done' && state !== 'failed')
    const offline = () => each('sending', (id) => halt(id, 'offline'))
    const online = () => each('offline', resume)
    const leave = (event: BeforeUnloadEvent) => busy && event.preventDefault()
    const handlers = { offline, online, beforeunload: leave } as Record<string, EventListener>
    for (const [name, handler] of Object.entries(handlers)) window.addEventListener(name, handler)
    return () => Object.entries(handlers).forEach(([name, handler]) => window.removeEventListener(name, handler))
  }, [items])

  return { items, add, pause: (id: string) => halt(id, 'paused'), resume, retry: resume, cancel }
}
