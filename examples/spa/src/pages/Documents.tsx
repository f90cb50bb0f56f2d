import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { queries, type Document } from '../api'
import { FileInput } from '../components/FilePicker'
import { Page } from '../components/Page'
import { Problem } from '../components/Problem'
import { RequireSession } from '../components/RequireSession'
import { DocumentCard } from '../documents/DocumentCard'
import { OpenTickets } from '../documents/OpenTickets'
import { newDocument } from '../documents/requests'
import { useTexts } from '../i18n'
import { useSession } from '../session'
import { UploadList } from '../uploads/UploadList'
import { useUploads } from '../uploads/useUploads'

export function Documents() {
  const { documents: t } = useTexts()
  return (
    <Page title={t.title}>
      <RequireSession>
        <MyDocuments />
      </RequireSession>
    </Page>
  )
}

function MyDocuments() {
  const { documents: t } = useTexts()
  const cache = useQueryClient()
  const uploads = useUploads()
  const { data: rules } = queries.useQuery('get', '/api/v1/upload-rules/') // types and sizes, so that there is no copy here
  const accept = rules?.documents.file.accept ?? ''
  const onChanged = () => void cache.invalidateQueries()
  return (
    <>
      <FileInput
        label={t.add}
        accept={accept}
        multiple
        onFiles={(files) => files.forEach((file) => uploads.add([file], newDocument(), onChanged))}
      />
      <UploadList uploads={uploads} />
      <OpenTickets uploads={uploads} onCompleted={onChanged} />
      <List render={(document, mine) => <DocumentCard key={document.id} {...{ document, mine, accept, uploads, onChanged }} />} />
    </>
  )
}

function List({ render }: { render: (document: Document, mine: boolean) => React.ReactNode }) {
  const { documents: t, loading } = useTexts()
  const { session } = useSession()
  const [search, setSearch] = useState('')
  const [mine, setMine] = useState(true)
  const query = { search, page_size: 10, ...(mine ? { owner: 'me' } : { visibility: 'authenticated' as const }) }
  // Pages by cursor: documents that are added meanwhile neither repeat nor hide others.
  const { data, error, fetchNextPage, hasNextPage, refetch } = queries.useInfiniteQuery('get', '/api/v1/documents/', { params: { query } }, {
    pageParamName: 'cursor',
    initialPageParam: '',
    getNextPageParam: ({ next }) => (next ? new URL(next).searchParams.get('cursor') : null),
  })
  const documents = data?.pages.flatMap((page) => page.results)
  return (
    <section aria-labelledby="list">
      <h2 id="list">{mine ? t.mine : t.shared}</h2>
      <div className="row" role="search">
        <label className="grow">
          {t.search}
          <input type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
        </label>
        <label>
          {t.whose}
          <select value={mine ? 'mine' : 'shared'} onChange={(event) => setMine(event.target.value === 'mine')}>
            <option value="mine">{t.mine}</option>
            <option value="shared">{t.shared}</option>
          </select>
        </label>
      </div>
      <Problem error={error} retry={() => void refetch()} />
      <p role="status">{!documents ? !error && loading : documents.length === 0 && t.none}</p>
      <ul className="plain list">{documents?.map((document) => render(document, document.owner.id === session?.user.id))}</ul>
      {hasNextPage && <button type="button" onClick={() => void fetchNextPage()}>{t.more}</button>}
    </section>
  )
}
