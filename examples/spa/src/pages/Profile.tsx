import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function Profile() {
  const t = useTexts()
  return <Page title={t.profile.title}>{null}</Page>
}
