import { Unplug } from 'lucide-react'
import { useMemo, useState } from 'react'
import { address, useAddress } from '../address'
import { killClient } from '../api/server'
import type { Client } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { FormDialog } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { SearchField } from '../components/search-field'
import { Tabs } from '../components/tabs'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { useSorted } from '../feed/window'
import { bytes, counted } from '../format/number'
import { span } from '../format/time'
import { CommandTail } from './command-tail'

/** The list of clients comes whole, so it is searched and sorted here. */
function arranged(clients: Client[], filter: string, sort: string): Client[] {
  const wanted = filter.toLowerCase()
  const column = sort.replace(/^-/, '')
  const direction = sort.startsWith('-') ? -1 : 1
  const value = (client: Client) => (column === 'id' ? Number(client.id) : client[column as keyof Client])
  return clients
    .filter((client) => `${client.name} ${client.addr} ${client.lib}`.toLowerCase().includes(wanted))
    .sort((one, other) => {
      const [a, b] = [value(one), value(other)]
      const order = typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b))
      return order * direction || Number(one.id) - Number(other.id)
    })
}

export function ClientsPage() {
  const { get } = useAddress()
  const tab = get('tab') ?? 'connections'
  return (
    <>
      <header className="page-head">
        <h1>Clients</h1>
      </header>
      <div className="page-body">
        <Tabs
          label="Views of the clients"
          tone="ink"
          current={tab}
          tabs={[
            { id: 'connections', title: 'Connections', href: '/clients' },
            { id: 'commands', title: 'Live commands', href: address('/clients', { tab: 'commands' }) },
          ]}
        />
        {tab === 'commands' ? <CommandTail /> : <Connections />}
      </div>
    </>
  )
}

function Connections() {
  const { get } = useAddress()
  const filter = get('filter') ?? ''
  const [killing, setKilling] = useState<Client | null>(null)
  const { sort, sortable } = useSorted('id')
  const { data, problem } = useTopic<Rows<Client>>(
    'clients',
    null,
    foldRows((row) => row.id),
  )
  const shown = useMemo(() => arranged(data?.rows ?? [], filter, sort), [data, filter, sort])
  const columns: Column<Client>[] = [
    {
      ...sortable('name', 'Client'),
      width: 'minmax(120px, 1.4fr)',
      cell: (row) => (row.name ? <b>{row.name}</b> : <span className="muted">client {row.id}</span>),
    },
    {
      ...sortable('addr', 'Address'),
      width: 'minmax(130px, 1fr)',
      cell: (row) => <span className="number">{row.addr}</span>,
    },
    {
      id: 'lib',
      title: 'Library',
      width: 'minmax(100px, 1fr)',
      cell: (row) => row.lib || <span className="muted">unknown</span>,
    },
    { id: 'user', title: 'User', width: 'minmax(60px, 0.6fr)', cell: (row) => row.user },
    { id: 'command', title: 'Last command', width: 'minmax(90px, 0.8fr)', cell: (row) => <code>{row.command}</code> },
    { ...sortable('subs', 'Subscribed', true), width: '80px', end: true, cell: (row) => row.subs },
    { ...sortable('idleMs', 'Idle', true), width: '80px', end: true, cell: (row) => span(row.idleMs) },
    { ...sortable('ageMs', 'Age', true), width: '80px', end: true, cell: (row) => span(row.ageMs) },
    { ...sortable('inBytes', 'Received', true), width: '84px', end: true, cell: (row) => bytes(row.inBytes) },
    { ...sortable('outBytes', 'Sent', true), width: '84px', end: true, cell: (row) => bytes(row.outBytes) },
    {
      id: 'kill',
      title: <span className="hidden">Close</span>,
      width: '28px',
      cell: (row) => (
        <ChangeButton className="small quiet icon" label={`Close client ${row.id}`} onClick={() => setKilling(row)}>
          <Unplug aria-hidden />
        </ChangeButton>
      ),
    },
  ]
  return (
    <>
      <Panel
        label="Connections"
        className="grow live"
        title={<SearchField label="Find by name, address or library" />}
        foot={data ? counted(shown.length, 'client') : 'Loading'}
      >
        <VirtualTable
          label="Clients"
          columns={columns}
          minWidth={1040}
          count={shown.length}
          row={(index) => shown[index]}
          rowKey={(row) => row.id}
          problem={problem}
          empty={
            data ? (
              <Empty
                title={filter ? `No client has "${filter}" in it` : 'Nobody is connected'}
                command="redis-cli -p 7654"
              >
                Every connection of the Redis protocol is listed here.
              </Empty>
            ) : (
              <Empty title="Loading" />
            )
          }
        />
      </Panel>
      {killing && (
        <FormDialog
          title={`Close ${killing.name || `client ${killing.id}`}`}
          action="Close the connection"
          danger
          onSubmit={async () => {
            const { count } = await killClient(killing.id)
            const name = killing.name || `client ${killing.id}`
            tell(count > 0 ? `Closed ${name}` : `${name} was gone already`)
          }}
          onClose={() => setKilling(null)}
        >
          <p>
            {killing.addr} is disconnected. Jobs that it leased come back when their lease ends; most libraries connect
            again by themselves.
          </p>
        </FormDialog>
      )}
    </>
  )
}
