import { Link } from 'react-router'
import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function NotFound() {
  const t = useTexts()
  return (
    <Page title={t.problem.notFound}>
      <Link to="/">{t.catalogue.title}</Link>
    </Page>
  )
}
