import { UploadList } from '../uploads/UploadList'
import { useUploads, type RequestTicket } from '../uploads/useUploads'

type Choice = { label: string; accept: string; multiple?: boolean; onFiles: (files: File[]) => void }

/** Chooses files, or takes those that are dropped on it. */
export function FileInput({ label, accept, multiple = false, onFiles }: Choice) {
  return (
    <label
      className="drop"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault()
        onFiles([...event.dataTransfer.files].slice(0, multiple ? undefined : 1))
      }}
    >
      {label}
      <input
        type="file"
        accept={accept}
        multiple={multiple}
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])])
          event.target.value = '' // so that the same file can be chosen again
        }}
      />
    </label>
  )
}

type Props = Omit<Choice, 'onFiles'> & { requestTicket: RequestTicket; onCompleted: () => void }

/** Chooses files and sends each with a ticket of its own, straight to storage. */
export function FilePicker({ requestTicket, onCompleted, ...choice }: Props) {
  const uploads = useUploads()
  return (
    <div className="picker">
      <FileInput {...choice} onFiles={(files) => uploads.add(files, requestTicket, onCompleted)} />
      <UploadList uploads={uploads} />
    </div>
  )
}
