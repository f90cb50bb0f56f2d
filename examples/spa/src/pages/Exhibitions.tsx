import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function Exhibitions() {
  const t = useTexts()
  return <Page title={t.exhibitions.title}>{null}</Page>
}
