import { Page } from '../components/Page'
import { useTexts } from '../i18n'

export function SignIn() {
  const t = useTexts()
  return <Page title={t.signIn.title}>{null}</Page>
}
