import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Document } from '../api'
import { FileInput } from '../components/FilePicker'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { useLanguage } from '../i18n'
import type { Uploads } from '../uploads/useUploads'
import { fileUrl, replacement } from './requests'

type Props = { document: Document; accept: string; mine: boolean; uploads: Uploads; onChanged: () => void }

export function DocumentCard({ document, accept, mine, uploads, onChanged }: Props) {
  const { t, formatBytes, formatDate } = useLanguage()
  const [preview, setPreview] = useState('')
  const { id, file, owner } = document
  const params = { path: { id } }
  const show = useMutation({
    mutationFn: async () => {
      if (file?.content_type.startsWith('image/')) return setPreview(preview ? '' : await fileUrl(id, false))
      const tab = window.open('', '_blank') // before anything is waited for: browsers block it later
      const url = await fileUrl(id, false).catch((error: unknown) => { tab?.close(); throw error })
      tab?.location.replace(url)
    },
  })
  const download = useMutation({ mutationFn: async () => window.location.assign(await fileUrl(id, true)) })
  const share = useMutation({
    mutationFn: (visibility: NonNullable<Document['visibility']>) => ok(api.PATCH('/api/v1/documents/{id}/', { params, body: { visibility } })),
    onSuccess: onChanged,
  })
  const remove = useMutation({ mutationFn: () => ok(api.DELETE('/api/v1/documents/{id}/', { params })), onSuccess: onChanged })
  const busy = share.isPending || remove.isPending
  return (
    <li className="card body document">
      <h3>{document.title}</h3>
      <p className="hint row">
        {!mine && owner.avatar?.url && <span className="face"><Picture image={owner.avatar} sizes="2rem" /></span>}
        {!mine && <span>{owner.display_name || t.documents.member}</span>}
        <span>{file ? `${file.name}, ${formatBytes(file.size)}, ${formatDate(file.uploaded_at)}` : t.documents.noFile}</span>
      </p>
      {preview && <img className="preview" src={preview} alt={t.documents.previewOf(document.title)} />}
      <div className="row">
        {file && <button type="button" onClick={() => show.mutate()}>{t.documents.show}</button>}
        {file && <button type="button" onClick={() => download.mutate()}>{t.documents.download}</button>}
        {mine && (
          <select aria-label={t.documents.visibilityOf(document.title)} value={document.visibility} disabled={busy} onChange={(event) => share.mutate(event.target.value as NonNullable<Document['visibility']>)}>
            <option value="private">{t.documents.visibilities.private}</option>
            <option value="authenticated">{t.documents.visibilities.authenticated}</option>
          </select>
        )}
        {mine && <button type="button" className="danger" disabled={busy} onClick={() => confirm(t.documents.confirm(document.title)) && remove.mutate()}>{t.delete}</button>}
      </div>
      {mine && (
        <details>
          <summary>{file ? t.documents.replace : t.documents.addFile}</summary>
          <FileInput label={t.documents.chooseFor(document.title)} accept={accept} onFiles={(files) => uploads.add(files, replacement(id), onChanged)} />
        </details>
      )}
      <Problem error={show.error ?? download.error ?? share.error ?? remove.error} />
    </li>
  )
}
