// Looks at the example app as a visitor does: searches, reads, changes the language, uses the keyboard alone.
// Usage: node app_visitor.mjs CHROMIUM APP FOLDER; prints what was seen as JSON.
import { launch } from './app.mjs'

const [executable, app, folder] = process.argv.slice(2)
const { page, complaints, found, visit, lookEverywhere, close } = await launch(executable, app, folder)
const seen = {}
const names = () => page.$$eval('.card h2', (headings) => headings.map((heading) => heading.textContent))
const status = (text) => page.waitForSelector(`[role=status]:has-text("${text}")`)

// --- The catalogue -----------------------------------------------------------------------------------
await visit('/', 'Species')
await status('14 species')
await page.waitForFunction(() => document.images[0].complete && document.images[0].naturalWidth)
const image = await page.$eval('.card img', ({ alt, currentSrc, style }) => ({ alt, currentSrc, background: style.backgroundImage }))
seen.image = { ...image, background: image.background.slice(0, 20) }
await lookEverywhere('catalogue')
await page.click('button:has-text("Next")')
await page.waitForSelector('text=Page 2 of 2')
await page.waitForFunction(() => document.querySelectorAll('.card').length === 2)

// By the keyboard alone: from the top of the page to the result of a search.
await visit('/', 'Species')
await page.keyboard.press('Tab')
seen.first = await page.evaluate(() => document.activeElement.textContent)
await page.keyboard.press('Enter')
await page.keyboard.press('Tab')
await page.keyboard.type('africa')
await page.keyboard.press('Tab')
await page.keyboard.type('Crit')
await page.keyboard.press('Tab')
await page.keyboard.type('Bir')
await page.keyboard.press('Tab')
await page.keyboard.press('Enter')
await status('1 species')
seen.searched = await names()
seen.address = new URL(page.url()).search
seen.stillAt = await page.evaluate(() => document.activeElement.textContent)
await page.goBack()
await status('14 species')
seen.emptied = await page.inputValue('[name=search]')
await page.goForward()
await status('1 species')
seen.filled = await page.inputValue('[name=status]')

// --- A species, in Spanish ---------------------------------------------------------------------------
await page.click('.card a')
await page.waitForSelector('h1:has-text("African penguin")')
seen.focused = await page.evaluate(() => document.activeElement.tagName)
seen.title = await page.title()
await page.waitForSelector('h2:has-text("On show today")')
seen.qrCode = await page.$eval('.qr', async (code) => (await code.decode(), code.naturalWidth > 0))
await lookEverywhere('species')
await page.selectOption('header select', 'es')
await page.waitForSelector('text=En peligro crítico')
seen.language = await page.getAttribute('html', 'lang')
seen.alt = await page.getAttribute('.gallery img', 'alt')
await visit('/species/dodo', 'Esta página no existe')
await lookEverywhere('missing')
seen.problem = await page.textContent('[role=alert]')
await visit('/nowhere', 'Esta página no existe') // the language is remembered

// --- Exhibitions -------------------------------------------------------------------------------------
await page.selectOption('header select', 'en')
await visit('/exhibitions', 'Exhibitions')
await page.waitForSelector('.card .row a')
seen.open = await names()
await lookEverywhere('exhibitions')
await page.fill('input[type=date]', '1999-01-01')
await page.waitForFunction(() => document.querySelectorAll('.card').length < 2)
seen.openThen = await names()
await page.fill('input[type=date]', '')

// The colours can be chosen, whatever the system says.
await page.selectOption('header select >> nth=1', 'dark')
seen.dark = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)

await close()
console.log(JSON.stringify({ ...seen, found, complaints }))
