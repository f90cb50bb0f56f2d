import { useTexts } from '../i18n'
import type { Item, Uploads } from './useUploads'

/** The files on their way, with what can be done about each. Only states are read aloud, not every per cent. */
export function UploadList({ uploads: { items, pause, resume, retry, cancel } }: { uploads: Uploads }) {
  const { uploads: t } = useTexts()
  const text = (item: Item) => `${item.name}: ${item.problem || t.states[item.state]}`
  const button = (label: string, item: Item, act: (id: string) => void) => (
    <button type="button" aria-label={`${label}: ${item.name}`} onClick={() => act(item.id)}>
      {label}
    </button>
  )
  return (
    <div role="status">
      <ul className="plain list">
        {items.map((item) => (
          <li key={item.id} className="row upload">
            <span className="grow">
              {text(item)}
              {item.state !== 'done' && item.state !== 'failed' && <progress aria-label={item.name} value={item.sent} max={item.size} />}
            </span>
            {item.state === 'sending' && button(t.pause, item, pause)}
            {item.state === 'paused' && button(t.resume, item, resume)}
            {item.state === 'failed' && button(t.retry, item, retry)}
            {item.state !== 'verifying' && button(item.state === 'done' ? t.dismiss : t.cancel, item, cancel)}
          </li>
        ))}
      </ul>
    </div>
  )
}
