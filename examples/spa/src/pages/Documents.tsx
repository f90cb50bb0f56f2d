import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function Documents() {
  const t = useTexts()
  return <Page title={t.documents.title}>{null}</Page>
}
