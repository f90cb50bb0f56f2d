import { isAuthApiError } from '@supabase/supabase-js'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Navigate, useLocation } from 'react-router'
import { auth } from '../api'
import { Page } from '../components/Page'
import { useTexts } from '../i18n'
import { useSession } from '../session'

/** Signs in or up with supabase-js. The API has no part in it: it only verifies the tokens. */
export function SignIn() {
  const { signIn: t } = useTexts()
  const { session } = useSession()
  const from = (useLocation().state as { from?: string } | null)?.from ?? '/profile'
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const entering = useMutation({
    mutationFn: async (isNew: boolean) => {
      const { data, error } = await (isNew ? auth.signUp({ email, password }) : auth.signInWithPassword({ email, password }))
      if (error) throw error
      return data.session ? '' : t.confirm // a project may want the address confirmed first
    },
  })
  if (session) return <Navigate to={from} replace />
  return (
    <Page title={t.title}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault()
          entering.mutate(false)
        }}
      >
        <label>
          {t.email}
          <input type="email" required autoComplete="username" value={email} onChange={(event) => setEmail(event.target.value)} />
        </label>
        <label>
          {t.password}
          <input type="password" required autoComplete="current-password" value={password} onChange={(event) => setPassword(event.target.value)} />
        </label>
        {entering.error && (
          <p className="problem" role="alert">
            {isWrong(entering.error) ? t.wrong : entering.error.message}
          </p>
        )}
        <p className="row">
          <button className="primary" disabled={entering.isPending}>
            {t.title}
          </button>
          <button
            type="button"
            disabled={entering.isPending}
            onClick={(event) => event.currentTarget.form?.reportValidity() && entering.mutate(true)}
          >
            {t.signUp}
          </button>
          <span role="status">{entering.data}</span>
        </p>
        <p className="hint">{t.demo}</p>
      </form>
    </Page>
  )
}

// Supabase Auth speaks English only: what happens often is said in the language of the page.
const isWrong = (error: unknown) => isAuthApiError(error) && error.code === 'invalid_credentials'
