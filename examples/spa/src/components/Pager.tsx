import { useTexts } from '../i18n'

type Props = { page: number; pages: number; onChange: (page: number) => void }

export function Pager({ page, pages, onChange }: Props) {
  const { pager: t } = useTexts()
  if (pages < 2) return null
  return (
    <nav className="row pager" aria-label={t.label}>
      <button type="button" disabled={page <= 1} onClick={() => onChange(page - 1)}>
        {t.previous}
      </button>
      <span>{t.page(page, pages)}</span>
      <button type="button" disabled={page >= pages} onClick={() => onChange(page + 1)}>
        {t.next}
      </button>
    </nav>
  )
}
