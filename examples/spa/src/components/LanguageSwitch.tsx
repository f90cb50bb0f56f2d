import { useLanguage } from '../i18n'
import type { Language } from '../i18n/language'

export function LanguageSwitch() {
  const { t, language, setLanguage } = useLanguage()
  return (
    <select
      aria-label={t.layout.language}
      value={language}
      onChange={(event) => setLanguage(event.target.value as Language)}
    >
      <option value="en" lang="en">
        English
      </option>
      <option value="es" lang="es">
        Español
      </option>
    </select>
  )
}
