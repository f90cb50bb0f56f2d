import { useQueryClient } from '@tanstack/react-query'
import { api, declared, ok, queries } from '../api'
import { FilePicker } from '../components/FilePicker'
import { Problem } from '../components/Problem'
import { useTexts } from '../i18n'
import { PictureForm } from './PictureForm'

export function Gallery({ slug }: { slug: string }) {
  const { edit: t } = useTexts()
  const cache = useQueryClient()
  const path = { slug }
  const { data: rules } = queries.useQuery('get', '/api/v1/upload-rules/')
  const { data, error, refetch } = queries.useQuery(
    'get',
    '/api/v1/species/{slug}/pictures/',
    { params: { path, query: { page_size: 100 } } },
    // The renditions of a new picture are made after its upload: look again until they are there.
    {
      refetchInterval: ({ state }) =>
        state.data?.results.some((picture) => picture.processing) ? 1000 : false,
    },
  )
  const requestTicket = (file: File, signal: AbortSignal) =>
    ok(
      api.POST('/api/v1/species/{slug}/pictures/upload-url/', {
        params: { path },
        body: declared(file),
        signal,
      }),
    )
  const pictures = data?.results ?? []
  return (
    <section>
      <h2>{t.pictures}</h2>
      <FilePicker
        label={t.addPictures}
        accept={rules?.species.pictures.accept ?? ''}
        multiple
        requestTicket={requestTicket}
        onCompleted={() => void cache.invalidateQueries()}
      />
      <Problem error={error} retry={() => void refetch()} />
      <ul className="plain list">
        {pictures.map((picture) => (
          // With `updated_at`, the form begins anew from what has been saved.
          <li key={picture.id + picture.updated_at} className="card wide">
            <PictureForm slug={slug} picture={picture} positions={pictures.length} />
          </li>
        ))}
      </ul>
    </section>
  )
}
