// Keeps the catalogue as a person does: logs in, looks at every page of the admin, sends a picture, deletes.
// Usage: node admin.mjs CHROMIUM BASE FOLDER PICTURE TEXT; prints what was seen as JSON.
import { readFile } from 'node:fs/promises'
import { open } from './browser.mjs'

const [executable, base, folder, picture, text] = process.argv.slice(2)
const { page, complaints, shot, close } = await open(executable, base, folder)
const seen = {}

const visit = async (path, name) => {
  await page.goto(`${base}/admin/${path}`, { waitUntil: 'networkidle' })
  await shot(name)
}
const save = async (button) => {
  await Promise.all([page.waitForNavigation(), page.click(button)])
  return page.textContent('.messagelist')
}

await visit('', 'login')
await page.fill('#id_username', 'keeper')
await page.fill('#id_password', 'keeper')
await page.click('[type=submit]')
await visit('', 'index')

// --- A species, and its picture ----------------------------------------------------------------------
await visit('api/species/add/', 'add')
await page.fill('#id_common_name', 'Aardwolf')
await page.fill('#id_scientific_name', 'proteles CRISTATA')
seen.added = await save('[name=_continue]')
seen.normalised = await page.inputValue('#id_scientific_name')
await shot('added')

// Slowly, so that its progress can be seen.
const network = await page.context().newCDPSession(page)
await network.send('Network.enable')
const slow = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 400 * 1024 }
await network.send('Network.emulateNetworkConditions', slow)
await page.evaluate(() => {
  window.progress = []
  new MutationObserver(() => {
    const bar = document.querySelector('vivarium-upload progress')
    if (bar && !bar.hidden) window.progress.push(bar.value)
  }).observe(document.querySelector('vivarium-upload'), { attributes: true, childList: true, subtree: true })
})
await page.setInputFiles('#picture-files', picture)
await page.waitForFunction(() => window.progress.some((value) => value > 0 && value < 100))
await shot('sending')
seen.preview = await page.isVisible('.files img')
await page.waitForSelector('text=Verified and saved.')
seen.progress = await page.evaluate(() => window.progress)
await network.send('Network.emulateNetworkConditions', { ...slow, uploadThroughput: -1 })
await page.waitForSelector('.picture .shown img')
seen.width = await page.$eval('.picture .shown img', async (image) => (await image.decode(), image.naturalWidth))
seen.imageUrl = await page.getAttribute('.picture .shown a', 'href')
await shot('sent')

await page.setInputFiles('#picture-files', text)
await page.waitForSelector('.files .failed')
seen.refused = await page.textContent('.files .failed .status')
seen.stillShown = await page.getAttribute('.picture .shown a', 'href')
await shot('refused')

seen.qrCode = await save('[name=_qr_code]')
seen.qrCodeShown = await page.$$eval('.shown img', (images) => images.map((image) => image.naturalWidth))
const species = page.url()
await page.emulateMedia({ colorScheme: 'dark' })
await shot('dark')
await page.setViewportSize({ width: 400, height: 800 })
await shot('narrow')
await page.setViewportSize({ width: 1280, height: 900 })
await page.emulateMedia({ colorScheme: 'light' })
await visit('api/species/', 'species')
seen.thumbnails = await page.$$eval('img.thumbnail', (images) => images.map((image) => image.naturalWidth))

// --- An exhibition, with the date picker and the search for its species ------------------------------
await visit('api/exhibition/add/', 'exhibition')
await page.fill('#id_title', 'Hunters of the night')
await page.click('.field-opens_on .date-icon')
await page.click('.calendarbox td a >> nth=10')
await page.click('.select2-selection')
await page.keyboard.type('cristata')
await page.click('.select2-results__option:has-text("Aardwolf")')
await shot('exhibition-filled')
seen.exhibition = await save('[name=_continue]')
seen.related = await page.textContent('.select2-selection__choice')
await page.fill('#id_closes_on', '2001-01-01')
await page.click('[name=_save]')
seen.closesTooEarly = await page.textContent('.errorlist:not(.nonfield)')
await shot('exhibition-refused')
const dropped = await page.evaluateHandle((bytes) => {
  const transfer = new DataTransfer()
  transfer.items.add(new File([Uint8Array.from(bytes)], 'dropped.png', { type: 'image/png' }))
  return transfer
}, [...(await readFile(picture))])
await page.dispatchEvent('.drop', 'drop', { dataTransfer: dropped })
seen.dropped = await page.textContent('.status:has-text("Verified and saved")')

// --- What is only looked at --------------------------------------------------------------------------
for (const kind of ['document', 'profile', 'upload']) {
  await visit(`api/${kind}/`, `${kind}s`)
  await page.click('#result_list tbody th a')
  await page.waitForLoadState('networkidle')
  await shot(kind)
}
await visit('api/document/', 'documents-again')
await page.click('#result_list tbody th a')
const [download] = await Promise.all([page.waitForEvent('download'), page.click('.field-file_link a')])
seen.download = download.suggestedFilename()

for (const [path, name] of [
  ['api/exhibition/', 'exhibitions'],
  ['api/educationalservice/', 'services'],
  ['api/educationalservice/add/', 'service'],
  ['auth/user/', 'users'],
  ['auth/user/add/', 'user'],
  ['password_change/', 'password'],
  ['api/', 'app'],
]) {
  await visit(path, name)
}

// --- And away with it --------------------------------------------------------------------------------
await page.goto(species.replace('/change/', '/history/'), { waitUntil: 'networkidle' })
await shot('history')
await page.goto(species.replace('/change/', '/delete/'), { waitUntil: 'networkidle' })
await shot('delete')
seen.deleted = await save('[type=submit][value]')
await visit('api/exhibition/', 'exhibitions-to-delete')
await page.check('#action-toggle')
await page.selectOption('[name=action]', 'delete_selected')
await Promise.all([page.waitForNavigation(), page.click('.actions button')])
await shot('delete-selected')
seen.deletedSelected = await save('[type=submit][value]')
await Promise.all([page.waitForNavigation(), page.click('#logout-form button')])
await shot('logged-out')

await close()
console.log(JSON.stringify({ ...seen, complaints }))
