// Keeps galleries as a person does: chooses pictures for a new entry, adds several, and puts them in order.
// Usage: node galleries.mjs CHROMIUM BASE FOLDER TEXT PICTURE...; prints what was seen as JSON.
import { open } from './browser.mjs'

const [executable, base, folder, text, red, lime, blue, gold] = process.argv.slice(2)
const { page, complaints, shot, close } = await open(executable, base, folder)
const seen = { waiting: [], cutOff: [], focused: [] }

const visit = (path) => page.goto(`${base}/admin/${path}`, { waitUntil: 'networkidle' })
const press = (button) => Promise.all([page.waitForNavigation(), page.click(`[name=${button}]`)])
const textsOf = (selector) => page.$$eval(selector, (found) => found.map((each) => each.textContent.trim()))
const chosen = () => textsOf('.files .name')
const pictures = async () => (await textsOf('.picture .name')).map((name) => name.split(' ')[0])
const countWaiting = async () => {
  const count = await page.evaluate(
    () =>
      new Promise((resolve) => {
        indexedDB.open('vivarium').onsuccess = ({ target: { result: database } }) => {
          const request = database.transaction('waiting').objectStore('waiting').count()
          request.onsuccess = () => (database.close(), resolve(request.result))
        }
      }),
  )
  seen.waiting.push(count)
}
const look = async (name) => {
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 })
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      await shot(`${name}-${width}-${colorScheme}`)
    }
    const wide = await page.$$eval('vivarium-gallery *, vivarium-upload *', (all) =>
      all.filter((each) => each.getBoundingClientRect().right > window.innerWidth).map((each) => each.outerHTML),
    )
    seen.cutOff.push(...wide)
  }
  await page.setViewportSize({ width: 1280, height: 900 })
  await page.emulateMedia({ colorScheme: 'light' })
}

await visit('')
await page.fill('#id_username', 'keeper')
await page.fill('#id_password', 'keeper')
await page.click('[type=submit]')
await page.waitForLoadState('networkidle')

// --- Lists --------------------------------------------------------------------------------------------
for (const language of ['en', 'es']) {
  await page.setExtraHTTPHeaders({ 'Accept-Language': language })
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 })
    for (const kind of ['species', 'exhibition', 'educationalservice']) {
      await visit(`api/${kind}/`)
      const missing = await page.$eval('.results', (list) => list.scrollWidth - list.clientWidth)
      if (missing > 0) seen.cutOff.push(`${kind} ${width} ${language}: ${missing} pixels`)
      await shot(`${kind}-${width}-${language}`)
    }
  }
}
await page.setExtraHTTPHeaders({ 'Accept-Language': 'en' })
await page.setViewportSize({ width: 1280, height: 900 })

// --- A new entry --------------------------------------------------------------------------------------
await visit('api/species/add/')
await page.fill('#id_common_name', 'Aardwolf')
await page.setInputFiles('#picture-files', [red, text])
await page.setInputFiles('#picture-files', [blue, lime])
await page.click('.files li:has-text("blue.png") button')
seen.chosen = await chosen()
await look('chosen')
await press('_save')
await page.waitForSelector('.errornote')
await page.waitForSelector('.files .name')
seen.chosenAgain = await chosen()
await countWaiting()
await shot('chosen-again')
await page.fill('#id_scientific_name', 'Proteles cristata')
await press('_save')
await page.waitForSelector('.files .failed')
await page.waitForFunction(() => document.querySelectorAll('.picture').length === 2)
seen.added = await page.textContent('.messagelist')
seen.failed = [await page.textContent('.failed .name'), await page.textContent('.failed .status')]
seen.pictures = await pictures()
await look('failed')
await countWaiting()
const species = new URL(page.url()).pathname

// Where the buttons lead, when all pictures are sent.
for (const [button, name, path] of [['_save', 'listed', '/species/'], ['_addanother', 'another', '/add/']]) {
  await visit('api/species/add/')
  await page.fill('#id_common_name', name)
  await page.fill('#id_scientific_name', `Proteles ${name}`)
  await page.setInputFiles('#picture-files', [red])
  await press(button)
  await page.waitForURL((url) => url.pathname.endsWith(path))
  await page.waitForLoadState('networkidle')
  seen[name] = page.url()
  await countWaiting()
}

// --- Several at once ----------------------------------------------------------------------------------
await page.goto(base + species, { waitUntil: 'networkidle' })
await page.fill('#id_habitat', 'Coast')
await page.setInputFiles('#picture-files', [blue, gold])
await page.waitForFunction(() => document.querySelectorAll('.picture').length === 4)
seen.unsaved = await page.inputValue('#id_habitat')
seen.more = await pictures()

// --- Their order --------------------------------------------------------------------------------------
await page.focus('.picture:nth-child(4) .up')
for (let pressed = 0; pressed < 3; pressed++) {
  await page.keyboard.press('Enter')
  seen.focused.push(await page.evaluate(() => document.activeElement.className))
}
seen.moved = await pictures()
seen.said = await page.textContent('.moved')
const handle = await page.locator('.picture:nth-child(1) .handle')
await handle.scrollIntoViewIfNeeded()
const from = await handle.boundingBox()
await page.mouse.move(from.x + 5, from.y + 5)
await page.mouse.down()
for (let step = 0; step < 40 && (await pictures()).indexOf('gold.png') < 2; step++) {
  const { y } = await page.locator('.picture.dragged .handle').boundingBox()
  await page.mouse.move(from.x + 5, Math.min(y + 200, 830))
}
await page.mouse.up()
seen.dragged = await pictures()
await page.fill('.picture:nth-child(2) [name$=-credit]', 'Ana')
await page.check('.picture:nth-child(4) .delete input')
await look('gallery')
await press('_continue')
seen.saved = await pictures()
seen.credit = await page.inputValue('.picture:nth-child(2) [name$=-credit]')
await shot('saved')

await close()
console.log(JSON.stringify({ ...seen, complaints }))
