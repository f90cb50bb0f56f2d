// Sends, reads, shares and deletes documents in the example app, while the network and the session fail.
// Usage: node app_documents.mjs CHROMIUM APP FOLDER EMAIL SMALL OTHER BIG PICTURE PAGE; prints what was seen.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { launch } from './app.mjs'

const [executable, app, folder, email, small, other, big, picture, html] = process.argv.slice(2)
const { page, complaints, found, visit, signIn, lookEverywhere, close } = await launch(executable, app, folder)
const context = page.context()
const seen = {}
const SLOW = 4_000_000 // bytes a second: a big file then takes seconds

const name = (path) => path.split('/').at(-1)
const title = (path) => name(path).replace(/\.[^.]+$/, '')
const item = (path, where = page) => where.locator('li.upload', { hasText: name(path) })
const card = (path) => page.locator('li.document', { hasText: title(path) }).first()
const reads = (path, text, where = page) => item(path, where).locator(`text=${text}`).waitFor()
const choose = (paths) => page.setInputFiles('.drop input >> nth=0', paths)
const sent = (path) => item(path).locator('progress').evaluate((bar) => bar.value)
const button = (path, label) => item(path).getByRole('button', { name: label }).click()

async function slowly(where = page) {
  const devtools = await context.newCDPSession(where)
  await devtools.send('Network.enable')
  const limits = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: SLOW }
  await devtools.send('Network.emulateNetworkConditions', limits)
}
async function begin(path) {
  await choose([path])
  await page.waitForFunction((label) => document.querySelector(`progress[aria-label="${label}"]`)?.value > 0, name(path))
}
async function dismiss(path) {
  await button(path, 'Dismiss')
  await item(path).waitFor({ state: 'detached' })
}

await signIn(email)
await visit('/documents', 'Documents')
seen.accept = await page.getAttribute('.drop input >> nth=0', 'accept')

// Two at once.
await choose([small, other])
for (const path of [small, other]) {
  await reads(path, 'done')
  await card(path).waitFor()
  await dismiss(path)
}

// Paused and resumed.
await slowly()
await begin(big)
await button(big, 'Pause')
await reads(big, 'paused')
const paused = await sent(big)
await page.waitForTimeout(500)
seen.paused = (await sent(big)) === paused
await lookEverywhere('paused')
await button(big, 'Resume')
await reads(big, 'being sent')

// Offline in the middle: it goes on by itself.
await context.setOffline(true)
await reads(big, 'waiting for the connection')
await context.setOffline(false)
await reads(big, 'done')
await dismiss(big)

// A token that expires while bytes are on their way.
const refreshes = []
page.on('request', (request) => request.url().includes('grant_type=refresh_token') && refreshes.push(request.url()))
await slowly()
await card(small).getByText('Replace the file').click()
await card(small).locator('input[type=file]').setInputFiles(big)
await page.waitForFunction((label) => document.querySelector(`progress[aria-label="${label}"]`)?.value > 0, name(big))
await page.evaluate(() => {
  const key = Object.keys(localStorage).find((each) => each.endsWith('-auth-token'))
  const session = JSON.parse(localStorage.getItem(key))
  localStorage.setItem(key, JSON.stringify({ ...session, access_token: 'expired', expires_at: 1 }))
})
await reads(big, 'done')
seen.refreshed = refreshes.length > 0
await dismiss(big)

// Begun in one tab, continued in another from where it was.
await begin(big)
await page.waitForTimeout(1500)
await button(big, 'Pause')
await reads(big, 'paused')
const tab = await context.newPage()
tab.setDefaultTimeout(15_000)
const offsets = []
tab.on('request', (request) => request.method() === 'PATCH' && offsets.push(Number(request.headers()['upload-offset'])))
await tab.goto(`${app}/documents`)
await tab.getByLabel(`Continue with ${name(big)}`).setInputFiles(big)
await reads(big, 'done', tab)
seen.continued = offsets[0]

// Cancelled: no document is left.
await button(big, 'Cancel')
await item(big).waitFor({ state: 'detached' })
await page.reload()
await page.locator('li.document').first().waitFor()
seen.before = await page.locator('li.document').count()
await slowly()
await begin(other)
await button(other, 'Cancel')
await item(other).waitFor({ state: 'detached' })
await page.waitForTimeout(500)
await page.reload()
await page.locator('li.document').first().waitFor()
seen.after = await page.locator('li.document').count()

// What is not what it says.
await choose([html])
await item(html).getByRole('button', { name: 'Try again' }).waitFor()
seen.refused = (await item(html).locator('span').first().textContent()).trim()
await button(html, 'Cancel')

// Shown, and downloaded under its own name.
await choose([picture])
await reads(picture, 'done')
await card(picture).getByRole('button', { name: 'Show' }).click()
seen.shown = await card(picture).locator('img.preview').evaluate(async (image) => (await image.decode(), image.naturalWidth))
const [download] = await Promise.all([
  page.waitForEvent('download'),
  card(picture).getByRole('button', { name: 'Download' }).click(),
])
const hash = (content) => createHash('sha256').update(content).digest('hex')
seen.name = download.suggestedFilename()
seen.same = hash(await readFile(await download.path())) === hash(await readFile(picture))
await lookEverywhere('documents')

// Shared, and deleted.
await card(picture).locator('select').selectOption('authenticated')
await page.selectOption('[role=search] select', 'shared')
await card(picture).waitFor()
page.on('dialog', (dialog) => dialog.accept())
await card(picture).getByRole('button', { name: 'Delete' }).click()
await card(picture).waitFor({ state: 'detached' })

// Signed out in one tab is signed out in the other.
await tab.click('header button')
await page.waitForSelector('nav a[href="/sign-in"]')
seen.signedOut = await page.textContent('main p')

await close()
console.log(JSON.stringify({ ...seen, found, complaints }))
