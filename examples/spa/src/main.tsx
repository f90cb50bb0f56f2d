import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { asProblem } from './api'
import { App } from './App'
import { LanguageProvider } from './i18n'
import { SessionProvider } from './session'
import './styles.css'

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root.')

// What the API has refused is refused again: only failures of the server and of the connection are retried.
const retry = (failures: number, error: unknown) => failures < 2 && (asProblem(error)?.status ?? 500) >= 500
const cache = new QueryClient({ defaultOptions: { queries: { retry, staleTime: 10_000 } } })

createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={cache}>
      <LanguageProvider>
        <SessionProvider>
          <App />
        </SessionProvider>
      </LanguageProvider>
    </QueryClientProvider>
  </StrictMode>,
)
