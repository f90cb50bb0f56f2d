import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// The API allows this origin when it runs with DEBUG: see CORS_ALLOWED_ORIGINS.
export default defineConfig({
  plugins: [react()],
  server: { port: 5173, strictPort: true },
})
