import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Pencil } from 'lucide-react'
import { useState } from 'react'
import { address, useAddress } from '../address'
import { fetchConfig, fetchInfo, setConfig } from '../api/server'
import type { Setting } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { FormDialog } from '../components/dialog'
import { Empty, Facts, Panel } from '../components/panel'
import { SearchField } from '../components/search-field'
import { Tabs } from '../components/tabs'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { problemOf } from '../http/client'
import { loggedInAs, logOut, useSession } from '../session'

export function ServerPage() {
  const { get } = useAddress()
  const { version, readOnly } = useSession()
  const user = loggedInAs()
  const tab = get('tab') ?? 'info'
  const filter = get('filter') ?? ''
  return (
    <>
      <header className="page-head">
        <h1>Server</h1>
        <SearchField label={tab === 'config' ? 'Find a setting' : 'Find a figure'} />
        <p className="muted actions">
          Nexo {version}
          {user !== null && `, logged in as ${user}`}
          {readOnly && <span className="pill warn">read-only</span>}
        </p>
        {user !== null && (
          <button
            type="button"
            className="button"
            onClick={() => logOut().catch((error) => tell(problemOf(error), 'bad'))}
          >
            Log out
          </button>
        )}
      </header>
      <div className="page-body">
        <Tabs
          label="Views of the server"
          tone="ink"
          current={tab}
          tabs={[
            { id: 'info', title: 'Info', href: '/server' },
            { id: 'config', title: 'Config', href: address('/server', { tab: 'config' }) },
          ]}
        />
        {tab === 'config' ? <Config filter={filter.toLowerCase()} /> : <Info filter={filter.toLowerCase()} />}
      </div>
    </>
  )
}

function Info({ filter }: { filter: string }) {
  const { data, error } = useQuery({ queryKey: ['info'], queryFn: fetchInfo, refetchInterval: 2000 })
  const sections = (data?.sections ?? [])
    .map((section) => ({
      ...section,
      rows: section.rows.filter(([name, value]) => `${section.name} ${name} ${value}`.toLowerCase().includes(filter)),
    }))
    .filter((section) => section.rows.length > 0)
  return (
    <>
      {error && <p className="problem">{problemOf(error)}</p>}
      {data && sections.length === 0 && <Empty title={`No figure has "${filter}" in it`} />}
      <div className="sections live">
        {sections.map((section) => (
          <Panel key={section.name} title={section.name}>
            <div className="panel-body">
              <Facts items={section.rows} />
            </div>
          </Panel>
        ))}
      </div>
    </>
  )
}

function Config({ filter }: { filter: string }) {
  const queries = useQueryClient()
  const { data, error } = useQuery({ queryKey: ['config'], queryFn: fetchConfig })
  const [editing, setEditing] = useState<Setting | null>(null)
  const rows = (data?.rows ?? [])
    .filter((row) => `${row.name} ${row.value}`.toLowerCase().includes(filter))
    .sort((one, other) => Number(other.mutable) - Number(one.mutable)) // those that can be changed come first
  return (
    <Panel label="Config">
      {error && <p className="problem">{problemOf(error)}</p>}
      {data && rows.length === 0 && <Empty title={`No setting has "${filter}" in it`} />}
      <ul className="settings">
        {rows.map((row) => (
          <li key={row.name}>
            <code>{row.name}</code>
            <span className="clip" title={row.value}>
              {row.value === '' ? <span className="muted">empty</span> : row.value}
            </span>
            {row.mutable ? (
              <ChangeButton className="small quiet icon" label={`Change ${row.name}`} onClick={() => setEditing(row)}>
                <Pencil aria-hidden />
              </ChangeButton>
            ) : (
              <span className="muted clip" title={row.note || 'decided when the server starts'}>
                {row.note || 'at start only'}
              </span>
            )}
          </li>
        ))}
      </ul>
      {editing && (
        <EditSetting
          setting={editing}
          onClose={() => setEditing(null)}
          onDone={() => queries.invalidateQueries({ queryKey: ['config'] })}
        />
      )}
    </Panel>
  )
}

function EditSetting({ setting, onClose, onDone }: { setting: Setting; onClose: () => void; onDone: () => void }) {
  const [value, setValue] = useState(setting.value)
  const submit = async () => {
    await setConfig(setting.name, value)
    tell(`Set ${setting.name}`)
    onDone()
  }
  return (
    <FormDialog
      title={setting.name}
      action="Set"
      disabled={value === setting.value}
      onSubmit={submit}
      onClose={onClose}
    >
      <TextField label="Value" value={value} onChange={setValue} />
      <p className="muted">It holds until the server restarts; flags and the environment are read again then.</p>
    </FormDialog>
  )
}
