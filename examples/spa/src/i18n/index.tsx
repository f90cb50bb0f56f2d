// Texts are properties, not keys: a missing Spanish text, or one with another name, does not compile.
import { createContext, use, useEffect, useMemo, useState, type ReactNode } from 'react'
import { en, type Texts } from './en'
import { es } from './es'
import { language as initial, remember, type Language } from './language'

const TEXTS: Record<Language, Texts> = { en, es }

type Value = {
  t: Texts
  language: Language
  setLanguage: (chosen: Language) => void
  formatDate: (day: string) => string
  formatBytes: (bytes: number) => string
}

const Context = createContext<Value | null>(null)

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(initial)
  useEffect(() => {
    remember(language)
    document.documentElement.lang = language
  }, [language])
  const value = useMemo(() => ({ t: TEXTS[language], language, setLanguage, ...formats(language) }), [language])
  return <Context value={value}>{children}</Context>
}

export function useLanguage(): Value {
  const value = use(Context)
  if (!value) throw new Error('useLanguage needs a LanguageProvider.')
  return value
}

export const useTexts = (): Texts => useLanguage().t

function formats(language: Language) {
  const date = new Intl.DateTimeFormat(language, { dateStyle: 'long' })
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const
  return {
    // A date without a time is meant in the zoo's place, not in UTC.
    formatDate: (day: string) => date.format(new Date(day.length === 10 ? `${day}T12:00` : day)),
    formatBytes: (bytes: number) => {
      const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1)
      const unit = units[power] ?? 'byte'
      const number = new Intl.NumberFormat(language, { style: 'unit', unit, maximumFractionDigits: 1 })
      return number.format(bytes / 1000 ** power)
    },
  }
}
