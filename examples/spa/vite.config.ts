import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// The API allows this origin when it runs with DEBUG: see CORS_ALLOWED_ORIGINS.
export default defineConfig({
  plugins: [react()],
  // The first browsers with light-dark(): for older ones, Vite would replace it by what ThemeSwitch cannot change.
  build: { target: ['chrome123', 'firefox120', 'safari17.5'] },
  server: { port: 5173, strictPort: true },
})
