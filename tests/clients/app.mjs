// What the tests of the example app share: a browser on it, signing in, and what axe finds.
import { createRequire } from 'node:module'
import { open } from './browser.mjs'

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** As `open` of browser.mjs, and with what an app needs: `visit(path)`, `signIn(email)`, `look(name)`, `found`. */
export async function launch(executable, app, folder) {
  const browser = await open(executable, app, folder)
  const { page, shot } = browser
  const found = []

  const visit = async (path, text) => {
    await page.goto(`${app}${path}`, { waitUntil: 'networkidle' })
    if (text) await page.waitForSelector(`h1:has-text("${text}")`)
  }

  /** What axe finds serious or critical in the page as it is, and a picture of it. */
  const look = async (name) => {
    await shot(name)
    if (!(await page.evaluate(() => 'axe' in window))) await page.addScriptTag({ path: AXE })
    const { violations } = await page.evaluate(() => window.axe.run())
    for (const { id, impact, nodes } of violations) {
      if (['serious', 'critical'].includes(impact)) found.push(`${name}: ${id}: ${nodes[0].html}`)
    }
  }

  /** The page in light and in dark, and on a telephone, where nothing may reach beyond the right edge. */
  const lookEverywhere = async (name) => {
    await page.emulateMedia({ colorScheme: 'light' })
    await look(name)
    await page.emulateMedia({ colorScheme: 'dark' })
    await look(`${name}-dark`)
    await page.emulateMedia({ colorScheme: 'light' })
    await page.setViewportSize({ width: 390, height: 844 })
    await look(`${name}-narrow`)
    if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) {
      found.push(`${name}: wider than a telephone`)
    }
    await page.setViewportSize({ width: 1280, height: 900 })
  }

  const signIn = async (email, password = 'vivarium') => {
    await visit('/sign-in')
    await page.fill('input[type=email]', email)
    await page.fill('input[type=password]', password)
    await page.press('input[type=password]', 'Enter')
    await page.waitForSelector('header nav a[href="/profile"]')
  }

  return { ...browser, found, visit, look, lookEverywhere, signIn }
}
