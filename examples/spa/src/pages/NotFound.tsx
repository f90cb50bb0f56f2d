import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function NotFound() {
  const t = useTexts()
  return <Page title={t.problem.notFound}>{null}</Page>
}
