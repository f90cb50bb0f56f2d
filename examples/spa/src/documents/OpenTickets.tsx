import { queries } from '../api'
import { FileInput } from '../components/FilePicker'
import { useTexts } from '../i18n'
import { reopened } from '../uploads/tickets'
import type { Uploads } from '../uploads/useUploads'

const QUERY = { params: { query: { state: 'pending' as const } } }

/** Uploads that were begun in another tab, on another device, or before the page was reloaded. */
export function OpenTickets({ uploads, onCompleted }: { uploads: Uploads; onCompleted: () => void }) {
  const { documents: t } = useTexts()
  const { data } = queries.useQuery('get', '/api/v1/uploads/', QUERY, { refetchOnWindowFocus: true })
  const here = new Set(uploads.items.map((item) => item.ticket))
  const open = data?.results.filter(({ id, resource }) => !here.has(id) && resource?.includes('/documents/')) ?? []
  if (!open.length) return null
  return (
    <section aria-labelledby="open-tickets">
      <h2 id="open-tickets">{t.open}</h2>
      <ul className="plain list">
        {open.map(({ id, declared }) => (
          <li key={id}>
            <FileInput
              label={t.continue(declared.filename)}
              accept={declared.content_type}
              onFiles={([file]) => {
                // The storage has only the beginning: another file would not be what was declared.
                if (file?.size === declared.size) uploads.add([file], () => reopened(id), onCompleted)
                else if (file) alert(t.otherFile(declared.filename))
              }}
            />
          </li>
        ))}
      </ul>
    </section>
  )
}
