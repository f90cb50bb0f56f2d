import { asProblem } from '../api'
import { useTexts } from '../i18n'

/** What went wrong. The API's `detail` is a sentence for people, in the language that was asked for. */
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useTexts()
  if (!error) return null
  const problem = asProblem(error)
  // If fields are refused, each has a sentence of its own. They are repeated here, because an alert is read aloud.
  const sentences = problem?.errors.length
    ? problem.errors.map((item) => item.detail)
    : [problem?.detail ?? t.problem.offline]
  return (
    <div className="problem" role="alert">
      {sentences.map((sentence, index) => (
        <p key={index}>{sentence}</p>
      ))}
      {retry && (
        <button type="button" onClick={retry}>
          {t.retry}
        </button>
      )}
    </div>
  )
}
