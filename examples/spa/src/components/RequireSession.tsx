import type { ReactNode } from 'react'
import { Link, useLocation } from 'react-router'
import type { Permission } from '../api'
import { useTexts } from '../i18n'
import { useSession } from '../session'

/** Shows its children to those who are signed in, and have the permission. */
export function RequireSession({ permission, children }: { permission?: Permission; children: ReactNode }) {
  const t = useTexts()
  const { ready, session, may } = useSession()
  const { pathname } = useLocation()
  if (!ready) return <p>{t.loading}</p>
  if (!session)
    return (
      <p>
        {t.problem.signInFirst}{' '}
        <Link to="/sign-in" state={{ from: pathname }}>
          {t.layout.signIn}
        </Link>
      </p>
    )
  if (permission && !may(permission)) return <p>{t.problem.notAllowed}</p>
  return children
}
