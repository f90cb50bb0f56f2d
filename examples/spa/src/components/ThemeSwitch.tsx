import { useEffect, useState } from 'react'
import { useTexts } from '../i18n'

const KEY = 'vivarium.theme'
type Theme = 'system' | 'light' | 'dark'

/** All colours in styles.css are light-dark(): `color-scheme` alone chooses among them. */
export function ThemeSwitch() {
  const { layout: t } = useTexts()
  const [theme, setTheme] = useState<Theme>(() => (localStorage.getItem(KEY) as Theme | null) ?? 'system')
  useEffect(() => {
    localStorage.setItem(KEY, theme)
    document.documentElement.style.colorScheme = theme === 'system' ? 'light dark' : theme
  }, [theme])
  return (
    <select aria-label={t.theme} value={theme} onChange={(event) => setTheme(event.target.value as Theme)}>
      <option value="system">{t.themes.system}</option>
      <option value="light">{t.themes.light}</option>
      <option value="dark">{t.themes.dark}</option>
    </select>
  )
}
