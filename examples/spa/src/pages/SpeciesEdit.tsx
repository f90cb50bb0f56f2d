import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from 'react-router'
import { Page } from '../components/Page'
import { Problem } from '../components/Problem'
import { RequireSession } from '../components/RequireSession'
import { Gallery } from '../edit/Gallery'
import { SpeciesForm } from '../edit/SpeciesForm'
import { read } from '../edit/version'
import { useTexts } from '../i18n'

export function SpeciesEdit() {
  const { edit: t } = useTexts()
  const { slug = '' } = useParams()
  return (
    <Page title={t.title}>
      <RequireSession permission="change_catalogue">
        <p>
          <Link to={`/species/${slug}`}>{t.back}</Link>
        </p>
        <Editor key={slug} slug={slug} />
      </RequireSession>
    </Page>
  )
}

function Editor({ slug }: { slug: string }) {
  const t = useTexts()
  // Read once: what somebody else saves meanwhile must not change the form. The ETag finds the conflict.
  const { data, error, refetch } = useQuery({
    queryKey: ['edit', slug],
    queryFn: () => read(slug),
    staleTime: Infinity,
    gcTime: 0,
  })
  if (error) return <Problem error={error} retry={() => void refetch()} />
  if (!data) return <p>{t.loading}</p>
  return (
    <>
      <SpeciesForm slug={slug} initial={data} />
      <Gallery slug={slug} />
    </>
  )
}
