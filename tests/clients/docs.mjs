// Tries the API out in its docs as a newcomer does: authorizes, asks for a ticket, and reads the answer.
// Usage: node docs.mjs CHROMIUM BASE FOLDER TOKEN DOCUMENT_ID; prints what was seen as JSON.
import { open } from './browser.mjs'

const [executable, base, folder, token, id] = process.argv.slice(2)
const { page, complaints, shot, close } = await open(executable, base, folder)

await page.goto(`${base}/api/docs/`, { waitUntil: 'networkidle' })
await shot('docs')
await page.click('.btn.authorize')
await page.fill('.auth-container input', token)
await page.click('.auth-btn-wrapper [type=submit]')
await page.click('.auth-btn-wrapper .btn-done')

const operation = page.locator('#operations-documents-requestDocumentUpload')
await operation.locator('.opblock-summary-control').click()
await operation.locator('.try-out__btn').click()
await operation.locator('.parameters input[placeholder=id]').fill(id)
const body = { filename: 'guía.pdf', content_type: 'application/pdf', size: 5120 }
await operation.locator('textarea').fill(JSON.stringify(body))
await operation.locator('.execute').click()
const answer = operation.locator('.live-responses-table')
await answer.waitFor()
await shot('ticket')
const status = await answer.locator('.response-col_status').last().textContent()
const ticket = JSON.parse(await answer.locator('.highlight-code code').first().textContent())

await close()
console.log(JSON.stringify({ status: parseInt(status), ticket, complaints }))
