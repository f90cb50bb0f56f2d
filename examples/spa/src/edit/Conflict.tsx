import { useEffect, useRef } from 'react'
import { useTexts } from '../i18n'
import { differences, type Values } from './version'

type Props = { mine: Values; theirs: Values; keepMine: () => void; takeTheirs: () => void }

/** Somebody has saved the entry since it was read: both versions, and the choice between them. */
export function Conflict({ mine, theirs, keepMine, takeTheirs }: Props) {
  const { edit: t, species: names } = useTexts()
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [])
  return (
    <section className="card body conflict" aria-labelledby="conflict">
      <h2 id="conflict" ref={heading} tabIndex={-1}>
        {t.conflict}
      </h2>
      <table>
        <thead>
          <tr>
            <td />
            <th scope="col">{t.mine}</th>
            <th scope="col">{t.theirs}</th>
          </tr>
        </thead>
        <tbody>
          {differences(mine, theirs).map((field) => (
            <tr key={field}>
              <th scope="row">{names.fields[field]}</th>
              <td data-label={t.mine}>{shown(mine[field])}</td>
              <td data-label={t.theirs}>{shown(theirs[field])}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="row">
        <button type="button" className="primary" onClick={keepMine}>
          {t.keepMine}
        </button>
        <button type="button" onClick={takeTheirs}>
          {t.takeTheirs}
        </button>
      </p>
    </section>
  )
}

const shown = (value: string | boolean) => (typeof value === 'boolean' ? (value ? '✓' : '—') : value || '—')
