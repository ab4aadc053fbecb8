import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// The server writes <base href="{prefix}/"> into index.html, so every address in the build is relative.
// DASHBOARD_URL names the server that `npm run dev` talks to; its Origin check wants its own origin.
const server = process.env.DASHBOARD_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  base: './',
  plugins: [react()],
  build: {
    outDir: '../assets/dist',
    emptyOutDir: true,
    license: { fileName: 'licenses.md' }, // the notices that the bundled packages ask for
    assetsInlineLimit: 0, // the content security policy has no data: addresses for scripts and styles
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      '/api': { target: server, changeOrigin: true, ws: true, headers: { origin: server } },
    },
  },
})
