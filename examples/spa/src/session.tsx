// Who is signed in, and what they may do. The API decides that again with each request.
import type { Session } from '@supabase/supabase-js'
import { useQueryClient } from '@tanstack/react-query'
import { createContext, use, useEffect, useRef, useState, type ReactNode } from 'react'
import { auth, queries, type Permission, type Profile } from './api'

type Value = {
  ready: boolean // false until the stored session is read
  session: Session | null
  profile: Profile | undefined
  may: (permission: Permission) => boolean
  signOut: () => Promise<unknown>
}

export const ME = { params: { path: { id: 'me' } } }

const Context = createContext<Value | null>(null)

export function SessionProvider({ children }: { children: ReactNode }) {
  const [session, setSession] = useState<Session | null>()
  const cache = useQueryClient()
  const member = useRef<string | null>(undefined)
  useEffect(() => {
    const { data } = auth.onAuthStateChange((_event, current) => setSession(current))
    return () => data.subscription.unsubscribe()
  }, [])

  // The first request of a new account creates its profile.
  const { data, isPending } = queries.useQuery('get', '/api/v1/profiles/{id}/', ME, { enabled: !!session })
  const profile = session ? data : undefined

  // What one member has read is not shown to the next. A refreshed token changes nothing.
  const id = session && session.user.id
  useEffect(() => {
    if (member.current !== undefined && member.current !== id) void cache.resetQueries()
    member.current = id
  }, [cache, id])

  const value: Value = {
    ready: session !== undefined && (!session || !isPending),
    session: session ?? null,
    profile,
    may: (permission) => profile?.permissions?.includes(permission) ?? false,
    signOut: () => auth.signOut(),
  }
  return <Context value={value}>{children}</Context>
}

export function useSession(): Value {
  const value = use(Context)
  if (!value) throw new Error('useSession needs a SessionProvider.')
  return value
}
