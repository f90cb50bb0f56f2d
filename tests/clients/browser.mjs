// A headless Chromium that reaches this machine alone, and remembers everything that a page complains of.
import { mkdir } from 'node:fs/promises'
import { chromium } from 'playwright-core'

const HERE = ['127.0.0.1', 'localhost']

/** `{page, complaints, shot, close}`; `shot(name)` keeps a picture of the page in the folder. */
export async function open(executablePath, base, folder) {
  await mkdir(folder, { recursive: true })
  const browser = await chromium.launch({
    executablePath,
    // Without a sandbox of its own, which root cannot have; and no other host has an address.
    args: ['--no-sandbox', `--host-resolver-rules=MAP * ~NOTFOUND , ${HERE.map((name) => `EXCLUDE ${name}`).join(' , ')}`],
  })
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const complaints = []
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
  page.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return
    complaints.push(`${message.type()}: ${message.text()} ${new URL(message.location().url || base).pathname}`)
  })
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url())
    if (protocol.startsWith('http') && !HERE.includes(hostname)) complaints.push(`elsewhere: ${request.url()}`)
  })
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`forbidden by ${event.violatedDirective}: ${event.blockedURI}`)
    })
  })
  let number = 0
  return {
    page,
    complaints,
    shot: (name) => page.screenshot({ path: `${folder}/${++number}-${name}.png`, fullPage: true }),
    close: () => browser.close(),
  }
}
