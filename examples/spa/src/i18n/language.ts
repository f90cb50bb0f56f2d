// The language that was chosen, or else the browser's. It is remembered.
export type Language = 'en' | 'es'

const KEY = 'vivarium.language'
let current = initial()

function initial(): Language {
  const wanted = localStorage.getItem(KEY) ?? navigator.language
  return wanted.startsWith('es') ? 'es' : 'en'
}

export const language = (): Language => current

export function remember(chosen: Language): void {
  current = chosen
  localStorage.setItem(KEY, chosen)
}
