import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function Catalogue() {
  const t = useTexts()
  return <Page title={t.catalogue.title}>{null}</Page>
}
