import { NavLink, Outlet, ScrollRestoration } from 'react-router'
import { LanguageSwitch } from './components/LanguageSwitch'
import { ThemeSwitch } from './components/ThemeSwitch'
import { useTexts } from './i18n'
import { useSession } from './session'

export function Layout() {
  const { layout: t } = useTexts()
  const { session, signOut } = useSession()
  return (
    <>
      <a className="skip" href="#content">
        {t.skip}
      </a>
      <header className="top">
        <span className="brand">Vivarium</span>
        <nav aria-label={t.navigation}>
          <NavLink to="/" end>
            {t.catalogue}
          </NavLink>
          <NavLink to="/exhibitions">{t.exhibitions}</NavLink>
          {session && <NavLink to="/documents">{t.documents}</NavLink>}
          {session && <NavLink to="/profile">{t.profile}</NavLink>}
          {!session && <NavLink to="/sign-in">{t.signIn}</NavLink>}
        </nav>
        <div className="switches">
          <LanguageSwitch />
          <ThemeSwitch />
          {session && (
            <button type="button" onClick={() => void signOut()}>
              {t.signOut}
            </button>
          )}
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Outlet />
      </main>
      <ScrollRestoration />
    </>
  )
}
