import { asProblem } from '../api'
import { useTexts } from '../i18n'

/** What went wrong. The API's `detail` is a sentence for people, in the language that was asked for. */
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useTexts()
  if (!error) return null
  return (
    <div className="problem" role="alert">
      <p>{asProblem(error)?.detail ?? t.problem.offline}</p>
      {retry && (
        <button type="button" onClick={retry}>
          {t.retry}
        </button>
      )}
    </div>
  )
}
