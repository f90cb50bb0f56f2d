import { useTexts } from '../i18n'
import type { Ticket } from '../api'
import { useUploads } from '../uploads/useUploads'

type Props = {
  label: string
  accept: string
  multiple?: boolean
  requestTicket: (file: File, signal: AbortSignal) => Promise<Ticket>
  onCompleted: () => void
}

/** Chooses files and sends each with a ticket of its own, straight to storage. */
export function FilePicker({ label, accept, multiple = false, requestTicket, onCompleted }: Props) {
  const { uploads: t } = useTexts()
  const { items, add, pause, resume, retry, cancel } = useUploads()
  return (
    <div className="picker">
      <label>
        {label}
        <input
          type="file"
          accept={accept}
          multiple={multiple}
          onChange={(event) => {
            add([...(event.target.files ?? [])], requestTicket, onCompleted)
            event.target.value = '' // so that the same file can be chosen again
          }}
        />
      </label>
      <div role="status">
        <ul className="plain">
          {items.map((item) => (
            <li key={item.id} className="row">
              <span>
                {item.name}: {item.problem ?? t.states[item.state]}
              </span>
              {item.state === 'sending' && (
                <progress aria-label={item.name} value={item.sent} max={item.size} />
              )}
              {item.state === 'sending' && (
                <button type="button" onClick={() => pause(item.id)}>
                  {t.pause}
                </button>
              )}
              {item.state === 'paused' && (
                <button type="button" onClick={() => resume(item.id)}>
                  {t.resume}
                </button>
              )}
              {item.state === 'failed' && (
                <button type="button" onClick={() => retry(item.id)}>
                  {t.retry}
                </button>
              )}
              {!['done', 'verifying'].includes(item.state) && (
                <button type="button" onClick={() => cancel(item.id)}>
                  {t.cancel}
                </button>
              )}
            </li>
          ))}
        </ul>
      </div>
    </div>
  )
}
